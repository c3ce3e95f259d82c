#include "harness/api/mcp/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "harness/api/mcp/versions.h"

namespace bitloop::api::mcp {

using nlohmann::json;
using nlohmann::ordered_json;

RpcResult<void> Batch::check(const json& array, const std::string& version) {
  if (version == kBatchVersion && !array.empty() && array.size() <= kMost) return {};
  return rpc_fail(kInvalidRequest,
                  fmt::format("Send one message at a time; only {} has batches, of 1 to {}.",
                              kBatchVersion, kMost));
}

Batch::Batch(const json& array, Pending& pending) : pending_(pending) {
  for (const json& document : array) {
    Member member{parse_message(document), readable_id(document), nullptr};
    if (member.message) {
      if (member.message->kind == Message::Kind::kNotification)
        pending_.take_notice(*member.message);
      if (member.message->kind != Message::Kind::kRequest) continue;
      member.flag = pending_.begin(member.id);
    }
    members_.push_back(std::move(member));
  }
}

bool Batch::may_wait() const {
  return std::ranges::any_of(members_, [](const Member& member) {
    return member.message && Protocol::may_wait(*member.message);
  });
}

ordered_json Batch::answer(const Protocol& protocol, const Peer& peer, Exchange exchange) {
  const auto deadline = std::chrono::steady_clock::now() + kTime;
  exchange.deadline = std::min(exchange.deadline, deadline);
  ordered_json answers = ordered_json::array();
  for (Member& member : members_) {
    if (!member.message) {
      answers.push_back(error_message(member.id, member.message.error()));
      continue;
    }
    const bool is_over = (exchange.abandoned && exchange.abandoned()) ||
                         std::chrono::steady_clock::now() >= exchange.deadline;
    if (is_over && !*member.flag && Protocol::may_wait(*member.message)) {
      pending_.end(member.id, member.flag);
      answers.push_back(error_message(
          member.id, {kInternalError, "Not begun: the batch's time is over; send this alone."}));
      continue;
    }
    ordered_json answered =
        protocol.answer_unless_cancelled(*member.message, peer, exchange, pending_, member.flag);
    if (!answered.is_null()) answers.push_back(std::move(answered));
  }
  return answers;
}

}  // namespace bitloop::api::mcp
