from hosts.fixtures import group_node, hosts_folder, member, node, pulumi_cli, second_node, session_node, stranger

__all__ = ["group_node", "hosts_folder", "member", "node", "pulumi_cli", "second_node", "session_node", "stranger"]
