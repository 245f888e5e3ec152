// The tables, and how an older database becomes this one.

enum Schema {
    /// Each entry takes the database from the version before it to the next; never changed once released.
    private static let versions: [[String]] = [
        [
            // Contents lie beside the database, in files/<id>: written and made durable before the row is.
            """
            CREATE TABLE files (
                number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, purpose TEXT NOT NULL, name TEXT NOT NULL, bytes INTEGER NOT NULL,
                created INTEGER NOT NULL, expires INTEGER)
            """,
            """
            CREATE TABLE batches (
                number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, endpoint TEXT NOT NULL, window TEXT NOT NULL, input TEXT NOT NULL,
                metadata TEXT, output_life INTEGER,
                status TEXT NOT NULL, stage INTEGER NOT NULL, ending TEXT, errors TEXT,
                created INTEGER NOT NULL, expires INTEGER NOT NULL, in_progress INTEGER, finalizing INTEGER, completed INTEGER, failed INTEGER,
                expired INTEGER, cancelling INTEGER, cancelled INTEGER,
                scanned_bytes INTEGER NOT NULL DEFAULT 0, scanned_lines INTEGER NOT NULL DEFAULT 0, last_number INTEGER NOT NULL DEFAULT 0,
                good_lines INTEGER NOT NULL DEFAULT 0, failed_lines INTEGER NOT NULL DEFAULT 0,
                prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
                output TEXT, error_output TEXT)
            """,
            "CREATE INDEX batches_at_work ON batches (stage, number) WHERE stage < 5",
            // `place` and `bytes` say where in the input the line is. State: 0 is still to be answered, 1 is good, 2 is an error; `result` is the line of the output.
            """
            CREATE TABLE lines (
                batch INTEGER NOT NULL REFERENCES batches (number), number INTEGER NOT NULL, custom_id TEXT, place INTEGER NOT NULL, bytes INTEGER NOT NULL,
                state INTEGER NOT NULL, result BLOB)
            """,
            "CREATE UNIQUE INDEX lines_by_number ON lines (batch, number)",
            "CREATE UNIQUE INDEX lines_by_custom_id ON lines (batch, custom_id) WHERE custom_id IS NOT NULL",
            "CREATE INDEX lines_open ON lines (batch, number) WHERE state = 0",
        ],
        [
            // Whose they are. Empty where they are older than tenants: the store gives them to its heir when it opens.
            "ALTER TABLE files ADD COLUMN tenant TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE batches ADD COLUMN tenant TEXT NOT NULL DEFAULT ''",
            "CREATE INDEX files_of_tenants ON files (tenant, number)",
            "CREATE INDEX batches_of_tenants ON batches (tenant, number)",
        ],
        // Of batches that are older than it, what has been counted by then.
        ["ALTER TABLE batches ADD COLUMN cached_tokens INTEGER NOT NULL DEFAULT 0"],
    ]

    static func migrate(_ database: Database) throws(BatchError) {
        let version = try database.int("PRAGMA user_version") ?? 0
        guard version <= versions.count else {
            throw BatchError(.storage, "The database of batches is of version \(version), and this daemon knows versions up to \(versions.count).")
        }
        for next in version..<versions.count {
            try database.transaction { () throws(BatchError) in
                for statement in versions[next] { try database.run(statement) }
                try database.run("PRAGMA user_version = \(next + 1)")
            }
        }
    }
}
