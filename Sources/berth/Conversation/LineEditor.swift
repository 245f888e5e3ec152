// One line after another from a terminal, edited and remembered by libedit.

import BerthCore
import CEdit
import Glibc

/// Used by one task at a time.
final class LineEditor {
    enum Input: Equatable {
        case line(String)
        /// Ctrl-C.
        case interrupted
        /// A pasted text that is larger than any request.
        case tooLong
        /// Ctrl-D, or the terminal is gone.
        case end
    }

    private let editor: UnsafeMutablePointer<berth_editor>
    private let files: [UnsafeMutablePointer<FILE>]
    private let history: HistoryFile?
    private let marksPastes: Bool

    /// Nil where the terminal cannot be used. `terminal`: its kind, where it is not $TERM's. `readsSettings`: the user's
    /// own, `~/.editrc`.
    init?(input: Int32 = STDIN_FILENO, output: Int32 = STDOUT_FILENO, terminal: String? = nil, history: HistoryFile?, readsSettings: Bool = true) {
        // Without a locale, libedit takes each byte of "é" for a character.
        setlocale(LC_CTYPE, "")
        if String(cString: nl_langinfo(Int32(CODESET))) != "UTF-8" { setlocale(LC_CTYPE, "C.UTF-8") }
        files = [(input, "r"), (output, "w"), (STDERR_FILENO, "w")].compactMap { descriptor, mode in
            let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
            guard copy >= 0, let file = fdopen(copy, mode) else { return nil }
            return file
        }
        guard files.count == 3,
            let editor = berth_editor_open(
                files[0], files[1], files[2], terminal, Int32(Limits.historyEntries), Limits.bodyBytes / 4, readsSettings ? 1 : 0)
        else {
            for file in files { fclose(file) }
            return nil
        }
        self.editor = editor
        self.history = history
        marksPastes = !["", "dumb"].contains(terminal ?? getenv("TERM").map { String(cString: $0) } ?? "")
        history?.load(into: editor)
    }

    deinit {
        berth_editor_close(editor)
        for file in files { fclose(file) }
    }

    /// Waits for the next line. What is not blank is remembered.
    func read(prompt: String) -> Input {
        guard let text = prompt.withCString({ berth_editor_read(editor, $0, marksPastes ? 1 : 0) }) else {
            return switch editor.pointee.reason {
            case BERTH_EDITOR_INTERRUPTED: .interrupted
            case BERTH_EDITOR_TOO_LONG: .tooLong
            default: .end
            }
        }
        var line = String(cString: text)
        if line.hasSuffix("\n") { line.removeLast() }
        if !line.allSatisfy(\.isWhitespace), line.utf8.count <= Limits.historyEntryBytes {
            berth_editor_remember(editor, line)
            history?.append(line)
        }
        return .line(line)
    }
}
