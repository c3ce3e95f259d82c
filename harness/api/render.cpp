#include "harness/api/render.h"

namespace bitloop::api {

using nlohmann::ordered_json;

namespace {

ordered_json tags_json(const std::vector<sessions::Tag>& tags) {
  ordered_json list = ordered_json::array();
  for (const sessions::Tag& tag : tags)
    list.push_back(
        {{"tag", tag.tag}, {"test", tag.test ? ordered_json(*tag.test) : ordered_json()}});
  return list;
}

}  // namespace

sessions::Terms terms_of(const Request& request) {
  return {request.if_match, request.idempotency_key, request.asked};
}

ordered_json render(const sessions::SessionView& session) {
  ordered_json files = ordered_json::array();
  for (const sessions::FileInfo& file : session.files)
    files.push_back({{"path", file.path}, {"lines", file.lines}, {"editable", file.editable}});
  ordered_json tests = ordered_json::array();
  for (const sessions::TestView& test : session.tests) tests.push_back(render(test));
  ordered_json document = {
      {"id", session.id},
      {"task", session.task},
      {"quantizer", session.quantizer},
      {"agent", session.agent},
      {"state", session.state},
      {"created", session.created},
      {"commit", session.commit},
      {"tests_total", session.tests_total},
      {"tests_left", session.tests_left},
      {"submitted", session.submitted ? ordered_json(*session.submitted) : ordered_json()},
      {"best", session.best ? ordered_json(*session.best) : ordered_json()},
      {"forked_from", session.forked_from},
      {"tags", tags_json(session.tags)},
      {"files", files},
      {"tests", tests}};
  if (!session.token.empty()) document["token"] = session.token;
  return document;
}

ordered_json render(const sessions::HistoryItem& item) {
  return {{"commit", item.commit},
          {"time", item.time_s},
          {"event", item.event},
          {"message", item.message},
          {"test", item.test ? ordered_json(*item.test) : ordered_json()}};
}

ordered_json render(const sessions::FileView& file) {
  return {{"path", file.path},
          {"content", file.content},
          {"editable", file.editable},
          {"view", file.view},
          {"commit", file.commit}};
}

ordered_json render(const sessions::EditAnswer& answer) {
  return {{"message", answer.message},
          {"commit", answer.commit},
          {"editable", answer.editable},
          {"view", answer.view},
          {"warnings", answer.warnings}};
}

ordered_json render(const sessions::DiffView& diff) {
  return {{"from", diff.from}, {"to", diff.to}, {"path", diff.path}, {"diff", diff.diff}};
}

ordered_json render(const sessions::TestView& test) {
  return {{"test", test.test},       {"status", test.status},        {"message", test.message},
          {"metrics", test.metrics}, {"decision", test.decision},    {"commit", test.commit},
          {"seed", test.seed},       {"tests_left", test.tests_left}};
}

ordered_json render(const sessions::TagsView& tags) {
  return {{"commit", tags.commit}, {"tags", tags_json(tags.tags)}};
}

}  // namespace bitloop::api
