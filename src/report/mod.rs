//! What a run shows: the table in the terminal and the HTML page.
