"""JTSM: things and stuff mined jointly from tags and segment proposals (Shen et al., CVPR 2021)."""
