CREATE TABLE IF NOT EXISTS {prefix}data (
    bucket  bytea  NOT NULL,
    key     bytea  NOT NULL,
    version bigint NOT NULL,
    value   bytea  NOT NULL,
    PRIMARY KEY (bucket, key)
);

CREATE TABLE IF NOT EXISTS {prefix}decisions (
    id        text        NOT NULL PRIMARY KEY,
    committed boolean     NOT NULL,
    decided   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS {prefix}identity (
    one integer NOT NULL PRIMARY KEY CHECK (one = 1),
    id  text    NOT NULL
);
