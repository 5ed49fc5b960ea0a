//! Entities of the tables and views that are read through `SeaORM`.
