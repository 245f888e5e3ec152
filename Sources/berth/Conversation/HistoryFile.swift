// The lines of earlier conversations, in the user's state directory. They are nobody else's to read.
//
// Every line is appended when it is entered, so that conversations on several terminals all keep theirs; a file that has grown
// is written anew with the latest lines when it is next read. What cannot be read or written is no reason not to talk.

import BerthCore
import CEdit
import Glibc

struct HistoryFile {
    let path: String

    init(path: String) { self.path = path }

    /// `$XDG_STATE_HOME/berth/history`, else `~/.local/state/berth/history`. Nil where neither is known.
    init?(environment: (String) -> String?) {
        // The specification of these directories says that relative ones are to be ignored.
        if let state = environment("XDG_STATE_HOME"), state.hasPrefix("/") {
            path = state + "/berth/history"
        } else if let home = environment("HOME"), home.hasPrefix("/") {
            path = home + "/.local/state/berth/history"
        } else {
            return nil
        }
    }

    func load(into editor: UnsafeMutablePointer<berth_editor>) {
        guard berth_editor_load(editor, path) >= 0 else { return }
        var status = stat()
        guard stat(path, &status) == 0, Int(status.st_size) > Limits.historyFileBytes else { return }
        let temporary = path + ".new"
        unlink(temporary)
        guard let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL) else { return }
        let isWritten = berth_editor_save(editor, file) >= 0
        guard fclose(file) == 0, isWritten, rename(temporary, path) == 0 else {
            unlink(temporary)
            return
        }
    }

    func append(_ line: String) {
        makeDirectory()
        guard let file = open(path, O_WRONLY | O_CREAT | O_APPEND) else { return }
        // The library writes the head of a new file where it finds itself at the start.
        fseek(file, 0, SEEK_END)
        _ = berth_history_append(line, file)
        fclose(file)
    }

    private func open(_ path: String, _ flags: Int32) -> UnsafeMutablePointer<FILE>? {
        let descriptor = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return nil }
        guard fchmod(descriptor, 0o600) == 0, let file = fdopen(descriptor, flags & O_APPEND != 0 ? "a" : "w") else {
            close(descriptor)
            return nil
        }
        return file
    }

    private func makeDirectory() {
        for index in path.indices.dropFirst() where path[index] == "/" { mkdir(String(path[..<index]), 0o700) }
    }
}
