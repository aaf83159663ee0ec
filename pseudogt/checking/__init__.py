"""What the target ``check`` looks for, before anything is trained.

``dataset`` calls the other modules: ``images`` for each image and its label files, ``weak_labels`` for the boxes and
tags that were given, ``counts`` for the table of classes, ``labelling`` for what the labels cost, and ``missing_files``
for the files that the configuration names. ``findings`` holds what they find.
"""
