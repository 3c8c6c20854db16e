"""Whether a TCP connection of this network namespace still stands, asked of the kernel.

/proc/net/tcp walks the hash table of the whole node, 5 ms of CPU for each look (measured with 24 GB of memory), so it is
read once a minute to find connections; one known connection is then looked up by its addresses in 10 microseconds.
"""

import socket
import struct

# local address, local port, remote address, remote port
Connection = tuple[bytes, int, bytes, int]

ESTABLISHED = 1
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
NO_COOKIE = 0xFFFFFFFF
HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBxI")
SOCKET_ID = struct.Struct("!HH4s12x4s12xIII")
REPLY_SIZE = 4096
ANSWER_LIMIT = 0.5


def connections(peer: str, port: int, table: str = "/proc/net/tcp") -> set[Connection]:
    """The established connections to one IPv4 address."""
    remote = f"{int.from_bytes(socket.inet_aton(peer), 'little'):08X}:{port:04X}"
    with open(table, encoding="ascii") as lines:
        rows = [line.split() for line in lines]
    return {
        (*_endpoint(row[1]), *_endpoint(row[2])) for row in rows if row[2] == remote and int(row[3], 16) == ESTABLISHED
    }


def stands(connection: Connection) -> bool:
    """False when the connection is closed by either side or gone; True also when the kernel refuses to tell."""
    source, source_port, destination, port = connection
    identity = SOCKET_ID.pack(source_port, port, source, destination, 0, NO_COOKIE, NO_COOKIE)
    body = REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, NO_COOKIE) + identity
    header = HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as diag:
            diag.settimeout(ANSWER_LIMIT)
            diag.send(header + body)
            reply = diag.recv(REPLY_SIZE)
    except OSError:
        return True
    # an error message means that there is no such connection; else family and state follow the header
    return HEADER.unpack_from(reply)[1] == SOCK_DIAG_BY_FAMILY and reply[HEADER.size + 1] == ESTABLISHED


def _endpoint(text: str) -> tuple[bytes, int]:
    """Address and port from the kernel's "0A00580A:2592", whose address is in the machine's byte order."""
    address, _, port = text.partition(":")
    return int(address, 16).to_bytes(4, "little"), int(port, 16)
