#include "harness/journal/flusher.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "harness/base/fd.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::journal {
namespace {

class FlusherTest : public ::testing::Test {
 protected:
  std::vector<UniqueFd> files(size_t count, const std::string& name = "f") {
    std::vector<UniqueFd> opened;
    for (size_t i = 0; i < count; ++i)
      opened.push_back(
          std::move(*open_file(folder_ / (name + std::to_string(i)), O_WRONLY | O_CREAT)));
    return opened;
  }
  static std::vector<int> numbers(const std::vector<UniqueFd>& files) {
    std::vector<int> list;
    for (const UniqueFd& file : files) list.push_back(file.get());
    return list;
  }

  test_support::ScratchFolder folder_;
};

TEST_F(FlusherTest, OneOfManyThatFailsIsTold) {
  for (const size_t helpers : {0U, 1U, 4U}) {
    Flusher flusher(helpers);
    const auto good = files(20);
    EXPECT_TRUE(flusher.flush(numbers(good)));
    for (const size_t place : {0U, 10U, 19U}) {
      std::vector<int> list = numbers(good);
      list[place] = -1;
      const Status failed = flusher.flush(list);
      ASSERT_FALSE(failed) << helpers << " " << place;
      EXPECT_EQ(failed.error().code, "io_error");
    }
    EXPECT_TRUE(flusher.flush({}));
    EXPECT_TRUE(flusher.flush(numbers(files(1))));
  }
}

TEST_F(FlusherTest, ManyCallersAtATimeAllReturn) {
  Flusher flusher(3);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      const auto mine = files(5, std::to_string(t) + "-");
      for (int i = 0; i < 40; ++i) {
        std::vector<int> list = numbers(mine);
        if (i % 4 == 3) list.back() = -1;
        EXPECT_EQ(flusher.flush(list).has_value(), i % 4 != 3);
      }
    });
}

TEST_F(FlusherTest, EndsWithoutHavingBeenUsed) { const Flusher unused(4); }

}  // namespace
}  // namespace bitloop::journal
