"""Intake: turns what a user sends (an archive, or a folder's name) into a canonical data set.

`archives.archive_members` and `folders.folder_members` read the members of an upload and refuse
what is unsafe; `validate.build_data_set` decodes them, counts, and writes the canonical archive.
"""
