#include "proxy/run/worker.h"

#include "proxy/shared/failures.h"

#include <utility>

namespace nearhop::run {

Worker::Worker(unsigned index, const shared::Board& board, shared::Registry& registry, shared::ReportSink& control,
               account::AccessLog& log)
    : context_{index, loop_, board, registry, control, log}, sessions_{context_} {
    loop_.on_failure([this](const std::exception& error) {
        context_.counters.faults[static_cast<std::size_t>(account::Fault::edge_internal)].add();
        shared::log_failure("worker", error);
    });
    loop_.after_batch([this] {
        sessions_.flush();
        sessions_.sweep();
        context_.send_reports();
        context_.relieve();
        context_.counters.loop_batches.add();
        session_count_.store(sessions_.count(), std::memory_order_relaxed);
    });
}

Worker::~Worker() {
    if (thread_.joinable()) stop();
}

void Worker::start() { thread_ = std::thread{&Worker::thread, this}; }

void Worker::thread() {
    loop_.run();
    // Frames and buffers go back to this thread's free lists, so they are freed here and not by the destructor.
    listeners_.clear();
    sessions_.cut();
    context_.close_pools();
}

void Worker::listen(std::string key, int descriptor, std::shared_ptr<const client::ListenerFacts> facts) {
    loop_.post([this, key = std::move(key), descriptor, facts = std::move(facts)] {
        listeners_[key] = std::make_unique<client::Listener>(context_, sessions_, descriptor, facts);
    });
}

void Worker::update(std::string key, std::shared_ptr<const client::ListenerFacts> facts) {
    loop_.post([this, key = std::move(key), facts = std::move(facts)] {
        if (const auto found = listeners_.find(key); found != listeners_.end()) found->second->update(facts);
    });
}

void Worker::stop_listening(std::string key) {
    loop_.post([this, key = std::move(key)] { listeners_.erase(key); });
}

void Worker::look() {
    loop_.post([this] { context_.snapshot(); });
}

void Worker::close_after_responses() {
    loop_.post([this] { sessions_.close_after_responses(); });
}

void Worker::drain() {
    loop_.post([this] {
        listeners_.clear();
        sessions_.drain();
    });
}

void Worker::end() {
    loop_.post([this] {
        context_.end();
        sessions_.end();
    });
}

void Worker::stop() {
    loop_.stop();
    thread_.join();
}

}  // namespace nearhop::run
