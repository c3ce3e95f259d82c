// What one commit of the journal says, and how that is written as a commit message:
//
//   Replaced lines 14..26 with 9 line(s)            the sentence
//
//     try a median scale                            the body (free text, indented so that none of
//     it can pass for a trailer)
//
//   Bitloop-Event: edit                             trailers, as `git interpret-trailers --parse`
//   reads them
//
// Kinds: session, edit, undo, revert, check, test-started, test-finished, test-resumed, submission,
// tag, untag.
//
// Free text cannot forge a trailer or break the message: control characters become spaces, bytes
// that are not UTF-8 become U+FFFD, the sentence and every trailer stay on one line, the body is
// indented.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::journal {

struct Trailer {
  std::string key;    // "Bitloop-Val-Loss": letters, digits and hyphens
  std::string value;  // one line; an empty value leaves the trailer out
};

// One event to be committed.
struct Event {
  std::string kind;               // one of the kinds above
  std::string sentence;           // for people, one line
  std::string body;               // optional, free text: an agent's description
  std::vector<Trailer> trailers;  // Bitloop-Event is written from `kind` and must not be among them
  std::string candidate;          // the tree: candidate.lua …
  std::string session_json;       // … and session.json
};

// One event as it was committed.
struct Commit {
  std::string id;      // 40 hexadecimal digits
  std::string parent;  // of the event before, "" for a session's first
  int64_t time_s = 0;  // Unix time of the commit; never goes back on a branch
  std::string kind;    // the value of Bitloop-Event, "" where there is none
  std::string sentence;
  std::string body;
  std::vector<Trailer> trailers;  // all of them, Bitloop-Event included

  // The value of the first trailer with this key; "" when there is none.
  std::string trailer(std::string_view key) const;
};

// The files of a commit.
struct Snapshot {
  std::string candidate;
  std::string session_json;
};

// The commit message. Error: "bad_trailer" (a key that git would not read as one, an empty kind,
// Bitloop-Event given twice).
Result<std::string> render_message(const Event& event);
// The inverse: fills kind, sentence, body and trailers. Any text is accepted.
Commit parse_message(std::string_view message);

}  // namespace bitloop::journal
