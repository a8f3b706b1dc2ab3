CREATE TABLE job (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text  text   NOT NULL,
    state text   NOT NULL DEFAULT 'new', -- then done or failed
    error text   NOT NULL DEFAULT ''
);

CREATE INDEX job_new ON job (id) WHERE state = 'new';
