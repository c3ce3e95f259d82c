#include "trainer/tokenizer/byte_pairs.h"

#include <algorithm>
#include <bit>
#include <queue>
#include <tuple>
#include <utility>

namespace bitloop::tokenizer {
namespace {

constexpr size_t kShort = 48;  // bytes up to which looking at every pair again beats a heap

}  // namespace

BytePairs::BytePairs(size_t merges) : bits_(std::bit_width(2 * merges + 16)) {
  slots_.resize(size_t{1} << bits_);
}

size_t BytePairs::place(int32_t left, int32_t right) const {
  const uint64_t key = static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  return key * 0x9e3779b97f4a7c15u >> (64 - bits_);  // Fibonacci hashing (Knuth 6.4)
}

const BytePairs::Slot& BytePairs::find(int32_t left, int32_t right) const {
  for (size_t i = place(left, right);; i = (i + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[i];
    if (slot.rank == kNone || (slot.left == left && slot.right == right)) return slot;
  }
}

void BytePairs::grow() {
  std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
  ++bits_;
  used_ = 0;
  for (const Slot& slot : old)
    if (slot.rank != kNone) add(slot.left, slot.right, slot.rank, slot.merged);
}

void BytePairs::add(int32_t left, int32_t right, int32_t rank, int32_t merged) {
  if (2 * ++used_ > slots_.size()) grow();
  size_t i = place(left, right);
  while (slots_[i].rank != kNone) {
    if (slots_[i].left == left && slots_[i].right == right) break;
    i = (i + 1) & (slots_.size() - 1);
  }
  slots_[i] = {left, right, rank, merged};
}

void BytePairs::encode(std::string_view piece, std::vector<int32_t>& out) const {
  if (piece.size() <= kShort)
    encode_short(piece, out);
  else
    encode_long(piece, out);
}

// The best pair again and again; looking for it is a walk over the few that there are.
void BytePairs::encode_short(std::string_view piece, std::vector<int32_t>& out) const {
  std::array<int32_t, kShort> ids, ranks, merged;  // ranks[i], merged[i]: of the pair (i, i + 1)
  size_t n = piece.size();
  for (size_t i = 0; i < n; ++i) ids[i] = token_of_byte_[static_cast<uint8_t>(piece[i])];
  const auto look = [&](size_t i) {
    const Slot& slot = find(ids[i], ids[i + 1]);
    ranks[i] = slot.rank;
    merged[i] = slot.merged;
  };
  for (size_t i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    const auto best = std::min_element(ranks.begin(), ranks.begin() + static_cast<long>(n) - 1);
    if (*best == kNone) break;
    const auto i = static_cast<size_t>(best - ranks.begin());
    ids[i] = merged[i];
    const auto close_gap = [&](auto& of, size_t gap) {
      std::copy(of.begin() + static_cast<long>(gap) + 1, of.begin() + static_cast<long>(n),
                of.begin() + static_cast<long>(gap));
    };
    close_gap(ids, i + 1);
    close_gap(ranks, i);
    close_gap(merged, i);
    --n;
    if (i + 1 < n) look(i);
    if (i > 0) look(i - 1);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + static_cast<long>(n));
}

// The same with a heap of pairs, n log n: a piece may be as long as the text.
void BytePairs::encode_long(std::string_view piece, std::vector<int32_t>& out) const {
  constexpr size_t kGone = std::numeric_limits<size_t>::max();
  struct Node {
    int32_t id;
    size_t before, after;  // kGone at the ends
    bool alive = true;
  };
  using Pair = std::tuple<int32_t, size_t>;  // rank, left node
  std::vector<Node> nodes(piece.size());
  std::priority_queue<Pair, std::vector<Pair>, std::greater<>> pairs;
  const auto offer = [&](size_t left) {
    if (left == kGone || nodes[left].after == kGone) return;
    const int32_t rank = find(nodes[left].id, nodes[nodes[left].after].id).rank;
    if (rank != kNone) pairs.emplace(rank, left);
  };
  for (size_t i = 0; i < nodes.size(); ++i)
    nodes[i] = {token_of_byte_[static_cast<uint8_t>(piece[i])], i == 0 ? kGone : i - 1,
                i + 1 == nodes.size() ? kGone : i + 1};
  for (size_t i = 0; i < nodes.size(); ++i) offer(i);
  while (!pairs.empty()) {
    const auto [rank, left] = pairs.top();
    pairs.pop();
    const size_t right = nodes[left].after;
    // Pairs of the heap may be out of date: what they merge may have merged with others.
    if (!nodes[left].alive || right == kGone) continue;
    const Slot& slot = find(nodes[left].id, nodes[right].id);
    if (slot.rank != rank) continue;
    nodes[left].id = slot.merged;
    nodes[left].after = nodes[right].after;
    nodes[right].alive = false;
    if (nodes[left].after != kGone) nodes[nodes[left].after].before = left;
    offer(nodes[left].before);
    offer(left);
  }
  for (size_t i = 0; i != kGone; i = nodes[i].after) out.push_back(nodes[i].id);
}

}  // namespace bitloop::tokenizer
