#pragma once

#include "proxy/client/listener.h"
#include "proxy/client/sessions.h"
#include "proxy/exchange/context.h"

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>

namespace nearhop::run {

/// One worker: a thread with its own loop, listeners, sessions, pools and counters. Nothing of it is touched by
/// another thread but through its loop's mailbox.
class Worker {
public:
    Worker(unsigned index, const shared::Board& board, shared::Registry& registry, shared::ReportSink& control,
           account::AccessLog& log);
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    void start();

    // Any thread; carried out on the worker's.
    void listen(std::string key, int descriptor, std::shared_ptr<const client::ListenerFacts> facts);
    void update(std::string key, std::shared_ptr<const client::ListenerFacts> facts);
    void stop_listening(std::string key);
    void look();                   ///< at the latest snapshot: without a request it would keep the last one that it saw
    void close_after_responses();  ///< grace: still accepting, answers carry Connection: close
    void drain();                  ///< listeners closed, idle sessions ended
    void end();                    ///< what is left is answered or cut
    void stop();                   ///< sessions cut, thread ends

    std::size_t sessions() const noexcept { return session_count_.load(std::memory_order_relaxed); }

private:
    void thread();

    loop::Loop loop_;
    exchange::Context context_;
    client::Sessions sessions_;
    std::map<std::string, std::unique_ptr<client::Listener>> listeners_;
    std::atomic<std::size_t> session_count_{0};
    std::thread thread_;
};

}  // namespace nearhop::run
