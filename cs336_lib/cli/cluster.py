"""`--dask ADDRESS`: let a Dask cluster do the work of a command (chapter 11)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

WAIT = 10.0
"""Seconds for a scheduler to answer."""


@contextmanager
def executor_at(address: str | None) -> Iterator[Executor | None]:
    """The executor of a cluster; None without an address, for threads of this process.

    Args:
        address: of a Dask scheduler, as it prints it when it starts.

    Raises:
        ImportError: dask.distributed is not installed.
        OSError: no scheduler answers there.
        ValueError: the address is none.

    >>> with executor_at(None) as executor:
    ...     print(executor)
    None
    """
    if address is None:
        yield None
        return
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ImportError:
        raise ImportError("--dask needs dask.distributed: pip install 'cs336-lib[dist]'") from None
    try:
        host, port = get_address_host_port(address, strict=True)
        # Asked first, for a Client that finds nobody complains once more when it is collected.
        socket.create_connection((host, port), timeout=WAIT).close()
    except ValueError as error:
        raise ValueError(f"--dask {address!r} is no address ({error}); one looks like tcp://host:8786") from None
    except OSError as error:
        raise OSError(f"no Dask scheduler answers at {address} ({error}); start one with: dask scheduler") from None
    with Client(address, timeout=WAIT, set_as_default=False) as client:
        yield client.get_executor()
