"""Workers: modules of ours that run in a process of their own and answer, in order, what the event loop asks them."""
