"""A server that answers each request with the same JSON: as fast as Python can, or after the seconds of its argument.

Says its port.
"""

import asyncio
import sys

BODY = b'{"userId": 5, "id": 100, "title": "excepturi a et neque qui expedita vel voluptate", "completed": false}'
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Constant(asyncio.Protocol):
    """Requests without a body, one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while b"\r\n\r\n" in self._read:
            self._read = self._read.partition(b"\r\n\r\n")[2]
            if SECONDS:
                asyncio.get_running_loop().call_later(SECONDS, self._transport.write, ANSWER)  # type: ignore[attr-defined]
            else:
                self._transport.write(ANSWER)  # type: ignore[attr-defined]


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
