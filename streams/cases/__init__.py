"""Real calls written down as anonymised test cases. Pure.

* `case.py`: the rows of a few calls, what the operator knows of them and the settings they need, as one line of JSON,
  in the form that `classify --truth` and the tests read.
* `anonymise.py`: which columns of a row are replaced, and which stay.
* `pseudonyms.py`: the replacement of each number, name and address; an original always becomes the same word.
"""
