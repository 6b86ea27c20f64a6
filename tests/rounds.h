#pragma once

/// How often a randomised test repeats itself.
namespace nearhop::test {

/// All of them, or a fifth under sanitizers: there a round costs 20 times as much and looks for errors of memory, which
/// the first rounds show; how rare a history is matters to the release build alone.
constexpr int rounds(int all) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return all / 5;
#else
    return all;
#endif
}

}  // namespace nearhop::test
