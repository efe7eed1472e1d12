"""Who claims what two machines cannot have at once: a volume that both share is claimed by both."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from jvp.libvirt.link.claims import Claims


def test_a_claim_is_of_one_thread_unless_all_share_it() -> None:
    claims = Claims()
    with ThreadPoolExecutor(1) as pool:

        def other(what: str, *, share: bool) -> bool:
            return pool.submit(claims.take, what, share=share).result()

        with claims.held():
            assert claims.take("mine")
            assert claims.take("ours", share=True)
            assert not claims.wanted("mine")
            assert [other("mine", share=share) for share in (False, True)] == [False, False]
            assert [other("ours", share=share) for share in (False, True)] == [False, True]
            assert claims.wanted("ours")
            assert not claims.take("ours")
        assert other("mine", share=False)
        assert not claims.take("ours"), "the other one has it still"
        assert claims.take("ours", share=True)
