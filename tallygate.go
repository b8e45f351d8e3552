// Package tallygate is the vocabulary of a metered job API: clients, API keys, money, ledger entries, job types, jobs,
// events, the 22 error codes of the contract, and what a store must offer. It holds what these things are; rooms below
// it decide over several of them, and it depends on nothing but the standard library.
package tallygate
