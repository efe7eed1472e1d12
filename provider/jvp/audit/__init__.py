"""The audit where no server keeps it: lines of JSON on the machine where a door runs."""
