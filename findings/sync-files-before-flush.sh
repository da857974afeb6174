#!/usr/bin/env bash
# torch.distributed.checkpoint's FileSystemWriter asks the disk to keep each file of a checkpoint (sync_files=True, the
# default). For the index, .metadata, it asks while all of its bytes are still in Python's buffer: what the disk is told
# to keep is a file of no bytes, and once they are written nothing asks again. The files of tensors are kept whole. A cut
# of power can leave a checkpoint that was said to be saved without its index.
#
# Seen: at the call for the index its file has 0 bytes of 820; at the one for the tensors 1577 of 1577.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import os
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp

calls, fsync = [], os.fsync


def noted(descriptor):
    there = os.fstat(descriptor)
    calls.append((there.st_ino, there.st_size))
    return fsync(descriptor)


os.fsync = noted
dcp.save({"weight": torch.arange(10.0)}, storage_writer=dcp.FileSystemWriter("saved", sync_files=True))
for path in sorted(Path("saved").iterdir()):
    there = path.stat()
    at_call = [size for inode, size in calls if inode == there.st_ino]
    print(f"{path.name}: {there.st_size} bytes; when the disk was asked to keep it, it had {at_call}")
    assert at_call == ([0] if path.name == ".metadata" else [there.st_size]) and there.st_size > 100
PY
