"""Which heads carry relations between words: attention and arg max at linked words, beside other words as far apart.

`dependencies` looks at treebanks, `spans` at frame elements and the user's own relations; both are shown maps by
`stream` and sum into `sums.Clustered`. `baselines` are what a head has to beat; `tables` makes rows of it all.
"""
