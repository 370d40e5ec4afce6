"""`manage.py doctor`: what is wrong with a deployment, seen from the machine on which it runs, and how to mend it.

Each module has checks that give `Finding`s. What `/ready/` and `manage.py check --deploy` look at is asked there and
not looked at again. Add a check to one of the modules, and to `CHECKS` in `lathe.doctor.examination`.
"""
