// `berth pool`: the one pool, drawn.

import ArgumentParser
import BerthClient
import BerthCore
import Glibc

struct PoolCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pool",
        abstract: "Draw the memory pool: who holds it, what could leave, and what had to.",
        discussion: """
            The bar shows the whole pool: k keys and values, a adapters, e experts, w waves of bulk requests; capitals are in use, \
            pinned or being read, small letters may leave. A dot is free, a dash is withheld while the machine is short of memory. Needs the admin socket.
            """)

    @OptionGroup var administration: AdminOptions
    @Flag(help: "Print the daemon's answer as it is.") var json = false

    func run() async throws {
        let answer = try await administration.admin.pool()
        print(json ? answer.text : PoolDrawing(answer, columns: terminalColumns).lines.joined(separator: "\n"))
    }

    private var terminalColumns: Int {
        var size = winsize()
        return ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col >= 40 ? Int(size.ws_col) : 80
    }
}

/// The answer of `GET /pool` in lines for people.
struct PoolDrawing {
    private let json: JSON
    private let columns: Int

    init(_ json: JSON, columns: Int) {
        self.json = json
        self.columns = columns
    }

    private static let letters = ["kv": "k", "adapter": "a", "expert": "e", "activation": "w"]
    /// Holders that are shown.
    private static let holders = 12

    private var pages: Int { json["pages"]?.int ?? 0 }
    private var pageBytes: Int { json["page_bytes"]?.int ?? 0 }
    private var classes: [(name: String, row: JSON)] { (json["by_class"]?.object ?? [:]).map { ($0.key, $0.value) } }

    private func size(_ pages: Int) -> String { pages == 0 ? "-" : ByteSize(bytes: pages * pageBytes).description }

    var lines: [String] {
        var lines = ["pool \(ByteSize(bytes: pages * pageBytes)) in \(pages) pages of \(ByteSize(bytes: pageBytes)), " + memory]
        lines.append("[" + bar(width: columns - 2) + "]")
        lines += tableLines(["CLASS", "SIZE", "IN USE", "PINNED", "READING", "CACHED", "WASTE"], classes.map { name, row in
            [name] + ["pages", "in_use", "pinned", "loading", "cached"].map { size(row[$0]?.int ?? 0) } + [waste(name)]
        })
        lines.append("found in memory: " + hitRates)
        lines.append("had to leave: " + evictions)
        let tenants = json["tenants"]?.array ?? []
        if tenants.count > 1 || tenants.contains(where: { $0["name"]?.string != "berth" }) {
            lines += [""] + tableLines(["TENANT", "SIZE", ""], tenants.map { [$0["name"]?.string ?? "?", size($0["pages"]?.int ?? 0), share($0)] })
        }
        let holders = (json["holders"]?.array ?? []).prefix(Self.holders)
        if !holders.isEmpty {
            lines += [""] + tableLines(["HOLDER", "NAME", "STATE", "SIZE", ""], holders.map { holder in
                let of = holder["adapter"]?.string.map { " on \($0)" } ?? ""
                return [holder["kind"]?.string ?? "?", (holder["name"]?.string ?? "?") + of, holder["state"]?.string ?? "?", size(holder["pages"]?.int ?? 0), share(holder)]
            })
        }
        return lines
    }

    /// What is free, what has memory of the machine's, free or not, and what pressure withholds.
    private var memory: String {
        [("free", "free"), ("touched", "resident"), ("withheld", "withheld")].compactMap { key, what -> String? in
            guard let pages = json[key]?.int, key == "free" || pages > 0 else { return nil }
            return "\(ByteSize(bytes: pages * pageBytes)) \(what)"
        }.joined(separator: ", ")
    }

    /// One character for each so-many-th part of the pool; rounded so that they add up to the width.
    func bar(width: Int) -> String {
        var parts: [(letter: String, pages: Int)] = []
        for (name, row) in classes {
            let letter = Self.letters[name] ?? "?"
            let cached = row["cached"]?.int ?? 0
            parts.append((letter.uppercased(), max(0, (row["pages"]?.int ?? 0) - cached)))
            parts.append((letter, cached))
        }
        let used = parts.reduce(0) { $0 + $1.pages }
        let free = max(0, pages - used), withheld = min(free, json["withheld"]?.int ?? 0)
        parts += [(".", free - withheld), ("-", withheld)]
        // Leases may exceed a limit that has just fallen.
        let whole = max(pages, used, 1)
        var text = "", end = 0
        for part in parts {
            end += part.pages
            text += String(repeating: part.letter, count: max(0, Int((Double(end) / Double(whole) * Double(width)).rounded()) - text.count))
        }
        return text
    }

    /// A bar of up to 20 characters for a part of the pool.
    private func share(_ holder: JSON) -> String {
        guard let held = holder["pages"]?.int, held > 0, pages > 0 else { return "" }
        return String(repeating: "#", count: max(1, min(20, Int((Double(held) / Double(pages) * 20).rounded()))))
    }

    private func waste(_ name: String) -> String { json["waste_bytes"]?[name]?.int.map { $0 == 0 ? "-" : ByteSize(bytes: $0).description } ?? "-" }

    private var hitRates: String {
        let rates = [("prefix", "tokens of prompts"), ("adapter", "adapters"), ("expert", "experts")].compactMap { kind, what -> String? in
            guard let queries = json["hits"]?[kind]?["queries"]?.int, queries > 0, let hits = json["hits"]?[kind]?["hits"]?.int else { return nil }
            return "\(what) \((Double(hits) / Double(queries) * 1000).rounded() / 10) % of \(queries)"
        }
        return rates.isEmpty ? "nothing was looked for" : rates.joined(separator: ", ")
    }

    private var evictions: String {
        let list = (json["evictions"]?.array ?? []).map { eviction -> String in
            let cause = eviction["cause"]?.string ?? "?"
            let why = cause == "limit" ? "when the limit fell" : cause == "pressure" ? "under memory pressure" : "for \(cause)"
            return "\(eviction["count"]?.int ?? 0) \(eviction["class"]?.string ?? "?") \(why)"
        }
        return list.isEmpty ? "nothing" : list.joined(separator: ", ")
    }
}
