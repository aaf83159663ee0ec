"""Evidence of JTSM: masks in the boxes of proposals by GrabCut, computed once and kept in files."""
