"""Every page as it was last accepted: `make screenshots` holds what Chromium draws now against these pictures.

`pages.py` takes the pictures, over one of everything that the tests of the portal make, so nothing is run and every
picture shows the same rows. `places.py` lists what is shown, `comparing.py` decides what counts as a difference. Fonts
and Chromium's version change every picture a little: accept anew after an update of either, and look at what changed.
"""
