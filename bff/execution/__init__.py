"""How an operation is executed: a level of objects at a time, not a field of one object at a time.

executor    what Strawberry is given: graphql-core's executor, that hands over each object and list it meets
plan        what is known of an operation before it runs, kept with its document
selections  what is asked of objects of one type
fields      the fields of a selection, and how each is found for all objects at once
values      how what was found becomes part of the answer: objects, lists, interfaces and unions
leaves      the same for scalars and enums
places      where each value belongs in the answer, so that what fails can be nulled there
run         one execution: what is still awaited, and what failed

The answer equals graphql-core's, key by key and error by error: `tests/execution/test_same_answers.py` and
`test_same_streams.py` hold one against the other. Why and at what price: `docs/decisions/0021-levels.md`.
"""
