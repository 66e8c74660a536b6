"""What lies between the operator and everybody else: a TCP forwarder. Stopped with SIGSTOP it is a cut cable.

Stopped, it takes connections and bytes and gives nothing back, as a network does that drops packets: nobody is told.
Must never look into what it carries.
"""

from __future__ import annotations

import asyncio
import json
import sys

Address = tuple[str, int]


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(64 * 1024):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _serve(routes: list[tuple[Address, Address]]) -> None:
    async def forward(listen: Address, target: Address) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                far_reader, far_writer = await asyncio.open_connection(*target)
            except OSError:
                writer.close()
                return
            await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))

        await asyncio.start_server(connected, *listen)

    for listen, target in routes:
        await forward(listen, target)
    print(json.dumps({"port": routes[0][0][1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve([(tuple(listen), tuple(target)) for listen, target in json.loads(sys.argv[1])]))
