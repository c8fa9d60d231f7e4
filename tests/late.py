"""What a test allows for a busy machine or a disk that stalls. No promise of the product is made of these.

A measured time is held from below to the second, and from above with `LATE_S`: what the test is there to find
must take longer still. What has to happen some time is waited for, at most `WITHIN_S`, and never slept for.
"""

LATE_S = 5.0
WITHIN_S = 30.0  # a test is cut at 180
