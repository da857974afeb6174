"""What differs between one device and many, behind one small interface (chapters 6 and 11).

single        one device, one process; its methods are the interface
distributed   DDP and FSDP2
choice        which of them a run gets
"""
