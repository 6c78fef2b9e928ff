"""The commands of the command line: a file each, and what they share.

A command's file has ``add_to(commands)``, which declares what it is called with and imports nothing
that takes long, and a function of the options that does it and gives the exit code.
"""
