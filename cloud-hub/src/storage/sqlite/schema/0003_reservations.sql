-- Units kept for shoppers who have not ordered yet. `content` is JSON.
CREATE TABLE reservation (
    id      INTEGER PRIMARY KEY,
    content TEXT NOT NULL
) STRICT;
