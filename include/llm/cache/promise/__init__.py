"""The promise about wrong answers: what two questions have in common (`pairs`), when one's answer will do for
the other (`policy`), how that is learnt (`learning`), and what keeps it true (`watch`, `relearn`)."""
