// What of a session stays in memory once it is closed, and what is read again.
#include "harness/sessions/service_impl.h"

namespace bitloop::sessions {

FileInfo file_info(const editor::Document& document) {
  return FileInfo{document.path(), document.line_count(), document.editable()};
}

Result<editor::Document> Service::Impl::candidate_of(const Session& session) const {
  if (session.document) return *session.document;
  BITLOOP_ASSIGN(snapshot, journal->read(session.head));
  return editor::Document::parse(snapshot.candidate);
}

void Service::Impl::rest(Session& session) {
  if (!session.state.closed || !session.document) return;
  session.resting = file_info(*session.document);
  session.document.reset();
  session.keys.reset();
  session.state.undo = {};
}

}  // namespace bitloop::sessions
