module github.com/tallygate/tallygate

go 1.26
