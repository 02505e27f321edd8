"""The five patterns (paper, section 4.1). Their order is the order of the classifier's outputs."""

CLASSES = ("vertical", "diagonal", "vertical+diagonal", "block", "heterogeneous")
