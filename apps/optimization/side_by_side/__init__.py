"""Two to six sessions, candidates or versions side by side, and a model's versions over time.

`selection` reads what the address names, `sides` finds its rows, `readings` takes the numbers from their reports,
`table` and `layers` put them into rows, `picture` draws them. Nothing is measured here: `services.comparing` starts a
session that measures two versions in turns on one machine.
"""
