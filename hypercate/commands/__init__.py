"""The commands of the command line, one file each, and what they share.

A command's file has ``add_to(commands)``, which declares its arguments and imports nothing that
takes long to import, and a function of the options that runs it and returns the exit code.
"""
