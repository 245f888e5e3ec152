// libedit, as far as a conversation needs it, and what it lacks: bracketed paste (a pasted text with line ends is one input,
// not several), and an interrupt key that cancels the line.
//
// Its settings are variadic functions and its commands are C functions, neither of which Swift can write.

#pragma once

#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <wchar.h>

/// Why there is no line.
enum berth_editor_reason { BERTH_EDITOR_END, BERTH_EDITOR_INTERRUPTED, BERTH_EDITOR_TOO_LONG };

struct berth_editor {
    EditLine *line;
    History *history;
    FILE *output;
    const char *prompt;
    /// Characters that one paste may have.
    size_t paste_limit;
    enum berth_editor_reason reason;
};

static inline struct berth_editor *berth_editor_of(EditLine *line) {
    void *data = NULL;
    el_get(line, EL_CLIENTDATA, &data);
    return data;
}

static inline char *berth_editor_prompt(EditLine *line) { return (char *)berth_editor_of(line)->prompt; }

static inline unsigned char berth_editor_interrupt(EditLine *line, int key) {
    (void)key;
    berth_editor_of(line)->reason = BERTH_EDITOR_INTERRUPTED;
    return CC_EOF;
}

/// The library's handler puts the terminal in order before and after.
static inline unsigned char berth_editor_suspend(EditLine *line, int key) {
    (void)line;
    (void)key;
    kill(getpid(), SIGTSTP);
    return CC_NORM;
}

/// Everything up to the terminal's mark of the end, as if typed, but with line ends as they are.
static inline unsigned char berth_editor_paste(EditLine *line, int key) {
    (void)key;
    static const wchar_t end[] = L"\033[201~";
    const size_t end_count = sizeof end / sizeof *end - 1;
    struct berth_editor *editor = berth_editor_of(line);
    size_t count = 0, capacity = 256, matched = 0, skipped = 0;
    wchar_t *text = malloc(capacity * sizeof *text);
    wchar_t character, last = 0;
    if (!text) return CC_ERROR;
    while (matched < end_count) {
        if (el_wgetc(line, &character) != 1) {
            free(text);
            return CC_EOF;
        }
        // The mark has its first character only there, so that a failed match can start anew at once.
        matched = character == end[matched] ? matched + 1 : character == end[0];
        wchar_t typed = character == L'\r' ? L'\n' : character;
        int is_second_of_pair = character == L'\n' && last == L'\r';
        last = character;
        if (typed == 0 || is_second_of_pair) continue;
        if (count == editor->paste_limit + end_count) {
            skipped = 1;
            continue;
        }
        if (count + 1 == capacity) {
            wchar_t *larger = realloc(text, 2 * capacity * sizeof *text);
            if (!larger) {
                free(text);
                return CC_ERROR;
            }
            text = larger;
            capacity *= 2;
        }
        text[count++] = typed;
    }
    if (skipped) {
        free(text);
        editor->reason = BERTH_EDITOR_TOO_LONG;
        return CC_EOF;
    }
    text[count - end_count] = 0;
    int failed = text[0] && el_winsertstr(line, text) != 0;
    free(text);
    return failed ? CC_ERROR : CC_REFRESH;
}

static inline void berth_editor_close(struct berth_editor *editor) {
    if (editor->line) el_end(editor->line);
    if (editor->history) history_end(editor->history);
    free(editor);
}

/// `settings`: read the user's own, `~/.editrc`. `terminal`: its kind, where it is not $TERM's. NULL where the terminal
/// cannot be used.
static inline struct berth_editor *berth_editor_open(
    FILE *input, FILE *output, FILE *errors, const char *terminal, int history_entries, size_t paste_limit, int settings) {
    struct berth_editor *editor = calloc(1, sizeof *editor);
    if (!editor) return NULL;
    HistEvent event;
    editor->output = output;
    editor->paste_limit = paste_limit;
    editor->history = history_init();
    editor->line = el_init("berth", input, output, errors);
    if (!editor->line || !editor->history || history(editor->history, &event, H_SETSIZE, history_entries) < 0) {
        berth_editor_close(editor);
        return NULL;
    }
    history(editor->history, &event, H_SETUNIQUE, 1);
    EditLine *line = editor->line;
    el_set(line, EL_CLIENTDATA, editor);
    if (terminal) el_set(line, EL_TERMINAL, terminal);
    el_set(line, EL_PROMPT, berth_editor_prompt);
    el_set(line, EL_HIST, history, editor->history);
    el_set(line, EL_SIGNAL, 1);
    el_set(line, EL_EDITOR, "emacs");
    el_set(line, EL_ADDFN, "berth-interrupt", "Cancel the line", berth_editor_interrupt);
    el_set(line, EL_ADDFN, "berth-suspend", "Stop until the shell goes on", berth_editor_suspend);
    el_set(line, EL_ADDFN, "berth-paste", "Insert what is pasted", berth_editor_paste);
    if (settings) el_source(line, NULL);
    // While a line is edited, keys are keys and no signals.
    el_set(line, EL_SETTY, "-d", "-isig", NULL);
    el_set(line, EL_BIND, "^C", "berth-interrupt", NULL);
    el_set(line, EL_BIND, "^Z", "berth-suspend", NULL);
    el_set(line, EL_BIND, "\\e[200~", "berth-paste", NULL);
    return editor;
}

/// The line with its end, in the locale's encoding, until the next call; NULL where there is none, and `reason` says why.
/// `marks_pastes`: the terminal understands the request to.
static inline const char *berth_editor_read(struct berth_editor *editor, const char *prompt, int marks_pastes) {
    int count = 0;
    editor->prompt = prompt;
    editor->reason = BERTH_EDITOR_END;
    if (marks_pastes) fputs("\033[?2004h", editor->output);
    fflush(editor->output);
    const char *text = el_gets(editor->line, &count);
    if (marks_pastes) fputs("\033[?2004l", editor->output);
    fflush(editor->output);
    return count > 0 ? text : NULL;
}

static inline void berth_editor_remember(struct berth_editor *editor, const char *text) {
    HistEvent event;
    history(editor->history, &event, H_ENTER, text);
}

/// These return the number of entries, or -1.
static inline int berth_editor_load(struct berth_editor *editor, const char *path) {
    HistEvent event;
    return history(editor->history, &event, H_LOAD, path);
}

static inline int berth_editor_save(struct berth_editor *editor, FILE *file) {
    HistEvent event;
    return history(editor->history, &event, H_SAVE_FP, file);
}

/// One entry, behind what the file has. (H_NSAVE_FP, which is for this, writes one too many.)
static inline int berth_history_append(const char *text, FILE *file) {
    HistEvent event;
    History *single = history_init();
    if (!single) return -1;
    history(single, &event, H_SETSIZE, 1);
    history(single, &event, H_ENTER, text);
    int count = history(single, &event, H_SAVE_FP, file);
    history_end(single);
    return count;
}
