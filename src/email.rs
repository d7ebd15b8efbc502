//! Mail: templates, rewriting, MIME, transports. Pure: knows no PostgreSQL.
