#include "trainer/tokenizer/gpt2.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <queue>
#include <tuple>
#include <unordered_map>

#include "harness/base/fd.h"
#include "trainer/tokenizer/splitter.h"

namespace bitloop::tokenizer {
namespace {

constexpr int32_t kMerges = 50'000;
constexpr std::string_view kEndOfTextName = "<|endoftext|>";
constexpr size_t kShort = 48;  // bytes up to which looking at every pair again beats a heap

// Merges of two tokens. The merged token's id is also its rank: merges come after the 256 bytes, in
// their order. Open addressing: a look is one or two cache lines.
class Merges {
 public:
  static constexpr int32_t kNone = std::numeric_limits<int32_t>::max();

  Merges() : slots_(size_t{1} << kBits) {}

  void add(int32_t left, int32_t right, int32_t merged) {
    size_t i = place(left, right);
    while (slots_[i].merged != kNone) i = (i + 1) & kMask;
    slots_[i] = {left, right, merged};
  }
  int32_t operator()(int32_t left, int32_t right) const {
    for (size_t i = place(left, right);; i = (i + 1) & kMask) {
      const Slot& slot = slots_[i];
      if (slot.merged == kNone || (slot.left == left && slot.right == right)) return slot.merged;
    }
  }

 private:
  static constexpr int kBits = 17;
  static constexpr size_t kMask = (size_t{1} << kBits) - 1;
  struct Slot {
    int32_t left = 0, right = 0, merged = kNone;
  };
  static size_t place(int32_t left, int32_t right) {
    const uint64_t key = static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
    return key * 0x9e3779b97f4a7c15u >> (64 - kBits);  // Fibonacci hashing (Knuth 6.4)
  }
  std::vector<Slot> slots_;
};

// The bytes in the order of their tokens: those that print come first, for vocab.bpe shows each
// byte as a character and gives the others characters from U+0100 on.
std::array<uint8_t, 256> bytes_by_token() {
  std::array<uint8_t, 256> order{};
  size_t n = 0;
  const auto prints = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
  };
  for (const bool printing : {true, false})
    for (int b = 0; b < 256; ++b)
      if (prints(b) == printing) order[n++] = static_cast<uint8_t>(b);
  return order;
}

// What stands in vocab.bpe for bytes: UTF-8 of characters below U+0180. Empty where it stands for
// none.
std::string bytes_of(std::string_view shown, const std::array<uint8_t, 256>& order) {
  std::string bytes;
  for (size_t i = 0; i < shown.size();) {
    const auto lead = static_cast<uint8_t>(shown[i]);
    if (lead < 0x80) {
      bytes += shown[i++];
      continue;
    }
    if (lead < 0xc2 || lead > 0xc5 || i + 1 == shown.size()) return {};
    const uint32_t point = (lead & 0x1fu) << 6 | (static_cast<uint8_t>(shown[i + 1]) & 0x3fu);
    i += 2;
    if (point < 0x100) {
      bytes += static_cast<char>(point);
    } else {
      const size_t token = 188 + (point - 0x100);  // of the bytes that don't print
      if (token >= order.size()) return {};
      bytes += static_cast<char>(order[token]);
    }
  }
  return bytes;
}

struct Hash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

}  // namespace

struct Gpt2::Tables {
  std::array<int32_t, 256> token_of_byte{};
  std::vector<std::string> bytes;  // by token
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> tokens;
  Merges merges;

  void add(std::string text) {
    tokens.emplace(text, static_cast<int32_t>(bytes.size()));
    bytes.push_back(std::move(text));
  }

  void merge_short(std::string_view piece, std::vector<int32_t>& out) const;
  void merge_long(std::string_view piece, std::vector<int32_t>& out) const;
};

// The best pair again and again; looking for it is a walk over the few that there are.
void Gpt2::Tables::merge_short(std::string_view piece, std::vector<int32_t>& out) const {
  std::array<int32_t, kShort> ids, ranks;  // ranks[i]: of the pair (i, i + 1)
  size_t n = piece.size();
  for (size_t i = 0; i < n; ++i) ids[i] = token_of_byte[static_cast<uint8_t>(piece[i])];
  for (size_t i = 0; i + 1 < n; ++i) ranks[i] = merges(ids[i], ids[i + 1]);
  while (n > 1) {
    const auto best = std::min_element(ranks.begin(), ranks.begin() + static_cast<long>(n) - 1);
    if (*best == Merges::kNone) break;
    const auto i = static_cast<size_t>(best - ranks.begin());
    ids[i] = ranks[i];
    std::copy(ids.begin() + static_cast<long>(i) + 2, ids.begin() + static_cast<long>(n),
              ids.begin() + static_cast<long>(i) + 1);
    std::copy(ranks.begin() + static_cast<long>(i) + 1, ranks.begin() + static_cast<long>(n) - 1,
              ranks.begin() + static_cast<long>(i));
    --n;
    if (i + 1 < n) ranks[i] = merges(ids[i], ids[i + 1]);
    if (i > 0) ranks[i - 1] = merges(ids[i - 1], ids[i]);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + static_cast<long>(n));
}

// The same with a heap of pairs, n log n: a piece may be as long as the text. Of equal ranks the
// first in the text goes first.
void Gpt2::Tables::merge_long(std::string_view piece, std::vector<int32_t>& out) const {
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
    const int32_t rank = merges(nodes[left].id, nodes[nodes[left].after].id);
    if (rank != Merges::kNone) pairs.emplace(rank, left);
  };
  for (size_t i = 0; i < nodes.size(); ++i)
    nodes[i] = {token_of_byte[static_cast<uint8_t>(piece[i])], i == 0 ? kGone : i - 1,
                i + 1 == nodes.size() ? kGone : i + 1};
  for (size_t i = 0; i < nodes.size(); ++i) offer(i);
  while (!pairs.empty()) {
    const auto [rank, left] = pairs.top();
    pairs.pop();
    const size_t right = nodes[left].after;
    // Pairs of the heap may be out of date: what they merge may have merged with others.
    if (!nodes[left].alive || right == kGone || merges(nodes[left].id, nodes[right].id) != rank)
      continue;
    nodes[left].id = rank;
    nodes[left].after = nodes[right].after;
    nodes[right].alive = false;
    if (nodes[left].after != kGone) nodes[nodes[left].after].before = left;
    offer(nodes[left].before);
    offer(left);
  }
  for (size_t i = 0; i != kGone; i = nodes[i].after) out.push_back(nodes[i].id);
}

Gpt2::Gpt2(std::unique_ptr<const Tables> tables) : tables_(std::move(tables)) {}
Gpt2::Gpt2(Gpt2&&) noexcept = default;
Gpt2& Gpt2::operator=(Gpt2&&) noexcept = default;
Gpt2::~Gpt2() = default;

Result<Gpt2> Gpt2::load(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "vocab.bpe";
  const auto text = read_file(path);
  if (!text) return fail("data_unavailable", text.error().message);
  return from_merges(*text, path.string());
}

Result<Gpt2> Gpt2::from_merges(std::string_view text, const std::string& name) {
  auto tables = std::make_unique<Tables>();
  const std::array<uint8_t, 256> order = bytes_by_token();
  tables->tokens.reserve(size_t{2} * kSize);
  for (const uint8_t byte : order) {
    tables->token_of_byte[byte] = static_cast<int32_t>(tables->bytes.size());
    tables->add(std::string(1, static_cast<char>(byte)));
  }
  int32_t line_number = 0, merged = 256;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (++line_number == 1 && line.starts_with("#version")) continue;
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    const auto token = [&](std::string_view shown) {
      const auto found = tables->tokens.find(bytes_of(shown, order));
      return found == tables->tokens.end() ? -1 : found->second;
    };
    const int32_t left = token(line.substr(0, space)),
                  right = space == std::string_view::npos ? -1 : token(line.substr(space + 1));
    if (left < 0 || right < 0)
      return fail("data_unavailable",
                  fmt::format("{}: line {} is no merge of two tokens that were there before", name,
                              line_number));
    tables->merges.add(left, right, merged++);
    tables->add(tables->bytes[static_cast<size_t>(left)] +
                tables->bytes[static_cast<size_t>(right)]);
  }
  if (merged - 256 != kMerges)
    return fail("data_unavailable", fmt::format("{}: {} merges, expected {}; run scripts/setup",
                                                name, merged - 256, kMerges));
  tables->bytes.emplace_back(kEndOfTextName);
  return Gpt2(std::move(tables));
}

void Gpt2::encode_piece(std::string_view piece, std::vector<int32_t>& out) const {
  if (const auto found = tables_->tokens.find(piece); found != tables_->tokens.end())
    out.push_back(found->second);
  else if (piece.size() <= kShort)
    tables_->merge_short(piece, out);
  else
    tables_->merge_long(piece, out);
}

void Gpt2::encode(std::string_view text, std::vector<int32_t>& out, Special special) const {
  if (special == Special::kToken) {
    for (size_t at; (at = text.find(kEndOfTextName)) != std::string_view::npos;) {
      encode(text.substr(0, at), out);
      out.push_back(kEndOfText);
      text.remove_prefix(at + kEndOfTextName.size());
    }
  }
  for (size_t begin = 0; begin < text.size();) {
    const size_t length = piece_length(text, begin);
    encode_piece(text.substr(begin, length), out);
    begin += length;
  }
}

std::vector<int32_t> Gpt2::encode(std::string_view text, Special special) const {
  std::vector<int32_t> ids;
  encode(text, ids, special);
  return ids;
}

Result<std::string> Gpt2::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    if (id < 0 || id >= kSize)
      return fail("wrong_usage",
                  fmt::format("{} is no token of GPT-2: they are 0 to {}", id, kSize - 1));
    text += tables_->bytes[static_cast<size_t>(id)];
  }
  return text;
}

// Later text can change the last piece, which may go on, and the one before it: an apostrophe and a
// letter may become a contraction of three.
void Gpt2::Stream::add(std::string_view text, std::vector<int32_t>& out) {
  held_ += text;
  // A piece that only grows is not looked at again before it has doubled: else a text of one letter
  // in small parts would take quadratic time.
  if (held_.size() < 2 * looked_) return;
  const std::string_view whole =
      std::string_view(held_).substr(0, held_.size() - unfinished_character(held_));
  size_t first = 0, second = 0;  // where the last two pieces begin; second = 0: there is one
  for (size_t begin = 0; begin < whole.size(); begin += piece_length(whole, begin)) {
    if (second > 0) {
      tokenizer_->encode_piece(whole.substr(first, second - first), out);
      first = second;
    }
    second = begin;
  }
  held_.erase(0, first);
  looked_ = held_.size();
}

void Gpt2::Stream::finish(std::vector<int32_t>& out) {
  tokenizer_->encode(held_, out);
  held_.clear();
  looked_ = 0;
}

}  // namespace bitloop::tokenizer
