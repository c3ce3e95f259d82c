// Memory that a process is charged with for what it ran once.
#pragma once

namespace bitloop::trainer {

// Gives back the pages of this program and its libraries that can be read again from their files:
// code and constants. LibTorch's start alone touches 60 MB of them, most of it never again; what is
// needed comes back from the page cache when it is touched. For any time, from any thread.
void give_back_program_pages();

}  // namespace bitloop::trainer
