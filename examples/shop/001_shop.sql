CREATE TABLE product (
    name  text    PRIMARY KEY,
    stock integer NOT NULL CHECK (stock >= 0)
);

INSERT INTO product (name, stock) VALUES ('cup', 100), ('pot', 20), ('tray', 5);

CREATE TABLE customer_order (
    number bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    placed timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE order_line (
    order_number bigint  NOT NULL REFERENCES customer_order,
    product      text    NOT NULL REFERENCES product,
    quantity     integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_number, product)
);
