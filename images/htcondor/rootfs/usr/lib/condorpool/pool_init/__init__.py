"""pid 1 of every HTCondor container: prepares, starts, watches and ends the daemons of one role.

Memory is the reason for the style: the interpreter alone holds 8.7 MB, and `dataclasses`, `subprocess`, `re`,
`logging` or `typing` would add 1 to 3 MB to every pod of every pool. So the package imports only os, signal, select,
socket, struct, stat, time and pwd, and uses plain classes.
"""
